"""Brings up PPP over the virtual board's modem, at the rate that the firmware speaks to it."""

import time

import machine
import network
import socket


def _say(uart, command):
    """Say it until the modem, which may be starting or without a network, takes it."""
    heard = b""
    while b"OK\r\n" not in heard and b"CONNECT" not in heard:
        uart.write(command + "\r")
        time.sleep_ms(1000)
        heard = uart.read() or b""


def connect():
    """A TCP connection to HOST:PORT."""
    uart = machine.UART(UART, baudrate=115200, tx=TX, rx=RX, rxbuf=4096)
    _say(uart, "AT+IPR=921600")
    time.sleep_ms(100)
    uart.init(baudrate=921600)
    _say(uart, 'AT+CGDCONT=1,"IP","v-internet"')
    _say(uart, "ATD*99#")
    ppp = network.PPP(uart)
    ppp.connect()
    while not ppp.isconnected():
        time.sleep_ms(100)
    connection = socket.socket()
    connection.connect(socket.getaddrinfo(HOST, PORT)[0][-1])
    return connection
