"""One unit's flow: gate, input log, guest, contract, batch, spool. Cores decide, pipeline.py and lane.py move."""
