"""Takes readings from MQTT and CoAP and hands them in unread: topic, arrival, raw bytes."""
