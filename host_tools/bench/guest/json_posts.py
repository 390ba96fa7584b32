"""What most boards do: `PER_POST` scans as JSON in one POST, the connection kept, each answer waited for."""

import json
import time

import network
import socket


def connect():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(SSID, PASSWORD)
    while not wlan.isconnected():
        time.sleep_ms(100)
    connection = socket.socket()
    connection.connect(socket.getaddrinfo(HOST, PORT)[0][-1])
    return connection


def scan(n):
    return {"device": "000002c407000000", "uptime": 345600000 + n * 1500, "scheme": 1, "id": "%018d" % n, "verdict": 3}


def post(connection, scans):
    body = json.dumps(scans if PER_POST > 1 else scans[0]).encode()
    head = "POST /scans HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall((head % (HOST, len(body))).encode() + body)
    while not connection.recv(1024).endswith(b"{}"):
        pass


def main():
    connection = connect()
    begun = time.ticks_ms()
    for n in range(POSTS):
        post(connection, [scan(n * PER_POST + i) for i in range(PER_POST)])
    print("ms", time.ticks_diff(time.ticks_ms(), begun))
