"""What most of these tests start from: images, a broker, and devices that know what they said."""

import pytest

from edgeagent.sim.broker import Broker
from tests.e2e.given import Devices


@pytest.fixture(scope="session")
def images(guest_image):
    return guest_image("aggregate").path.parents[1]


@pytest.fixture
def broker():
    with Broker() as running:
        yield running


@pytest.fixture
def devices(broker):
    with Devices(broker.port) as home:
        yield home
