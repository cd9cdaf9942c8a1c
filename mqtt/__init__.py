"""MQTT 3.1, 3.1.1 and 5.0 without I/O, and a broker and a client on trio. It depends on nothing else in this repository."""
