"""Against a real Mosquitto and a real CoAP server. Without Mosquitto these tests fail; `make test` installs it."""

import asyncio
import json
import lzma
import socket
import threading
from collections import Counter

import aiocoap
import paho.mqtt.client as mqtt
import pytest
from aiocoap import resource
from click.testing import CliRunner

from edgeagent.cli.replay import replay
from edgeagent.cli.simulate import simulate
from edgeagent.errors import ConfigError, DamagedError, UnreachableError
from edgeagent.host.clock import SystemClock
from edgeagent.sim.address import Address, address
from edgeagent.sim.broker import Broker
from edgeagent.sim.coap_outbox import CoapOutbox
from edgeagent.sim.home import Plan, messages
from edgeagent.sim.message import Via
from edgeagent.sim.mqtt_outbox import MqttOutbox
from edgeagent.sim.player import Progress, play
from edgeagent.sim.truth_file import told

PATIENCE = 20


class Listener:
    """Everything that a broker passes on, until a message on `end`."""

    def __init__(self, port):
        self.heard = []
        self._ended = threading.Event()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("#", 1)
        assert self._subscribed.wait(PATIENCE)

    def _take(self, client, userdata, message):
        if message.topic == "end":
            self._ended.set()
        else:
            self.heard.append((message.topic, message.payload))

    def all(self):
        self._client.publish("end", b"", 1)
        assert self._ended.wait(PATIENCE)
        self._client.disconnect()
        self._client.loop_stop()
        return self.heard


@pytest.fixture
def broker():
    with Broker() as broker:
        yield broker


class Shelf(resource.Resource):
    """Keeps what is posted; every fifth request finds it busy."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.busy = 0

    def get_resources_as_linkheader(self):
        return None

    async def render_post(self, request):
        if (len(self.heard) + self.busy) % 5 == 4:
            self.busy += 1
            return aiocoap.Message(code=aiocoap.SERVICE_UNAVAILABLE, max_age=0)
        self.heard.append(("/".join(request.opt.uri_path), request.payload))
        return aiocoap.Message(code=aiocoap.CHANGED)


class Tree(resource.Resource, resource.PathCapable):
    """One resource for every path."""

    def __init__(self, shelf):
        super().__init__()
        self._shelf = shelf

    async def render(self, request):
        return await self._shelf.render_post(request)


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def coap():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    shelf, port = Shelf(), free_udp_port()
    starting = aiocoap.Context.create_server_context(Tree(shelf), bind=("127.0.0.1", port))
    context = asyncio.run_coroutine_threadsafe(starting, loop).result()
    yield shelf, Address("coap", "127.0.0.1", port)
    asyncio.run_coroutine_threadsafe(context.shutdown(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_home_arrives_whole(broker, coap):
    shelf, where = coap
    listener = Listener(broker.port)
    plan = Plan(sensors=60, rate=400, duration=1000, coap=True, disorder=200)
    said = list(messages(plan, SystemClock().now_ms()))
    progress, sent = Progress(), []
    with MqttOutbox(address(broker.url, "mqtt"), name="test") as mqtt_box, CoapOutbox(where) as coap_box:
        play(
            said,
            {Via.MQTT: mqtt_box, Via.COAP: coap_box},
            clock=SystemClock(),
            stop=threading.Event(),
            sent=sent.append,
            progress=progress,
        )
    assert sent == said
    assert progress.messages == len(said) == mqtt_box.acknowledged + coap_box.acknowledged
    by_way = {via: [(m.topic, m.payload) for m in said if m.via is via] for via in Via}
    assert Counter(listener.all()) == Counter(by_way[Via.MQTT])
    assert Counter(shelf.heard) == Counter(by_way[Via.COAP])
    for topic in {m.topic for m in said}:
        heard = [payload for name, payload in listener.heard + shelf.heard if name == topic]
        assert heard == [m.payload for m in said if m.topic == topic]


def test_stop_ends_it_and_nothing_is_lost(broker):
    stop = threading.Event()
    sent = []

    def taken(message):
        sent.append(message)
        if len(sent) == 20:
            stop.set()

    listener = Listener(broker.port)
    said = messages(Plan(sensors=10, rate=1000, duration=600_000), SystemClock().now_ms())
    with MqttOutbox(address(broker.url, "mqtt"), name="test") as outbox:
        play(said, {Via.MQTT: outbox}, clock=SystemClock(), stop=stop, sent=taken, progress=Progress())
    assert len(listener.all()) == len(sent) == outbox.acknowledged == 20


def test_nobody_there():
    plan = Plan(sensors=2, rate=10, duration=1000)
    message = next(messages(plan, 0))
    nowhere = Address("mqtt", "127.0.0.1", free_udp_port())
    with (
        pytest.raises(UnreachableError, match=r"mqtt://127.0.0.1:\d+: the broker doesn't answer"),
        MqttOutbox(nowhere, name="test"),
    ):
        pass
    wrong = Address("coap", "127.0.0.1", nowhere.port)
    with CoapOutbox(wrong) as outbox:
        outbox.send(message)
        with pytest.raises(UnreachableError, match=r"coap://127.0.0.1:\d+: the CoAP server doesn't answer"):
            outbox.finish()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://h", "mqtt://h:1883"),
        ("mqtts://h", "mqtts://h:8883"),
        ("mqtt://[::1]:99", "mqtt://[::1]:99"),
    ],
)
def test_addresses(text, expected):
    assert str(address(text, "mqtt", "mqtts")) == expected


@pytest.mark.parametrize(
    "text", ["h", "coap://h", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://u@h", "mqtt://h/x"]
)
def test_no_addresses(text):
    with pytest.raises(ConfigError, match="is no address such as mqtt://HOST"):
        address(text, "mqtt")


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_simulate_writes_the_truth(broker, tmp_path):
    listener = Listener(broker.port)
    file = tmp_path / "truth.jsonl"
    result = run(
        simulate, "--broker", broker.url, "--sensors", 30, "--for", "2s", "--rate", 100, "--window", "1s",
        "--truth", file, "--seed", 3, "--json",
    )  # fmt: skip
    facts = json.loads(result.stdout)
    truth = told(file.read_text().splitlines(), str(file))
    assert facts["readings"] == truth.payloads == len(listener.all()) == facts["acknowledged"]["mqtt"]
    assert facts["values"] == truth.values
    assert facts["windows"] == len(truth.windows)
    counted = sum(w.count for w in truth.windows) + sum(t.count for t in truth.totals)
    assert counted == truth.values


def test_replay_sends_every_row(broker, coap, tmp_path):
    shelf, where = coap
    listener = Listener(broker.port)
    file = tmp_path / "rows.csv.xz"
    lines = "".join(f"{i}, {1458748400000 + i * 137}, {i % 4}, 2{i % 7}.5\n" for i in range(300))
    file.write_bytes(lzma.compress(lines.encode()))
    truth_file = tmp_path / "truth.jsonl"
    result = run(
        replay, file, "--broker", broker.url, "--coap", where, "--columns", "id,at,node,T", "--time", "at",
        "--time-unit", "ms", "--topic", "room/{node}", "--fields", "T", "--speed", "max", "--window", "10s",
        "--truth", truth_file, "--limit", 290, "--json",
    )  # fmt: skip
    heard = listener.all() + shelf.heard
    assert len(heard) == json.loads(result.stdout)["readings"] == 290
    assert {topic for topic, _ in heard} == {f"room/{n}" for n in range(4)}
    assert {topic for topic, _ in shelf.heard} & {topic for topic, _ in listener.heard} == set()
    numbers = Counter((topic, json.loads(payload)["ts"]) for topic, payload in heard)
    assert numbers == Counter((f"room/{i % 4}", 1458748400000 + i * 137) for i in range(290))
    assert sum(w.count for w in told(truth_file.read_text().splitlines(), "t").windows) == 290


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["nothing.csv", "--broker", "mqtt://127.0.0.1"], ConfigError, "nothing.csv: cannot be read"),
        (["{file}"], ConfigError, "nowhere to send to"),
        (["{file}", "--broker", "mqtt://h", "--delimiter", ";;"], ConfigError, "no single character"),
        (["{empty}", "--broker", "mqtt://h"], DamagedError, "there are no rows"),
        (["{cut}", "--broker", "mqtt://h"], DamagedError, "cannot be read to its end"),
    ],
)
def test_replay_says_what_is_wrong(tmp_path, arguments, error, words):
    (tmp_path / "a.csv").write_text("at,T\n2020-01-01,1\n")
    (tmp_path / "empty.csv").write_text("at,T\n")
    (tmp_path / "cut.xz").write_bytes(lzma.compress(b"at,T\n" + b"2020-01-01,1\n" * 99)[:30])
    files = {
        name: tmp_path / path for name, path in (("file", "a.csv"), ("empty", "empty.csv"), ("cut", "cut.xz"))
    }
    with pytest.raises(error) as caught:
        run(replay, *(one.format(**files) for one in arguments), "--time", "at", "--topic", "x")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--for", "3x"],
        ["--quantiles", "0.5,1.1"],
        ["--sensors", "0"],
        ["--quantiles", "x"],
        ["--window", "-1s"],
    ],
)
def test_bad_options_are_named(arguments):
    result = CliRunner().invoke(simulate, ["--broker", "mqtt://127.0.0.1", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.stderr
