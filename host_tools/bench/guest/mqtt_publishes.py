"""One QoS 1 publish a scan, as umqtt.simple does it: each acknowledgement is waited for before the next goes out."""

import json
import struct
import time

import call
import json_posts


def publish(connection, pid, message):
    topic = b"chot/000002c407000000/scan"
    size = 2 + len(topic) + 2 + len(message)
    head = bytes((0x32, size & 127 | 128, size >> 7)) if size > 127 else bytes((0x32, size))
    connection.sendall(head + struct.pack(">H", len(topic)) + topic + struct.pack(">H", pid) + message)
    while connection.recv(4) != struct.pack(">BBH", 0x40, 2, pid):
        pass


def main():
    connection = call.connect()
    begun = time.ticks_ms()
    client = b"000002c407000000"
    connection.sendall(struct.pack(">BBH4sBBHH", 0x10, 12 + len(client), 4, b"MQTT", 4, 2, 60, len(client)) + client)
    connection.recv(4)
    for n in range(json_posts.POSTS):
        publish(connection, n % 65535 + 1, json.dumps(json_posts.scan(n)).encode())
    print("ms", time.ticks_diff(time.ticks_ms(), begun))
