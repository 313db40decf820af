/*
 * TCP (RFC 9293)
 *  0       4       8               16                              31
 * |          source port          |        destination port       |
 * |                        sequence number                        |
 * |                     acknowledgment number                     |
 * | offset| resvd | flags         |            window             |
 * |           checksum            |        urgent pointer         |
 * |                           options …                           |
 *
 * offset: of the payload, in words of 4 bytes. flags: CWR ECE URG ACK PSH RST SYN FIN, from the left.
 */
export const TCP_HEADER = 20;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
export const TCP_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_URGENT = 18;

export const FIN = 0x01;
export const PSH = 0x08;
export const ACK = 0x10;
export const CWR = 0x80;

export const PROTOCOL_TCP = 6;
