const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

/** Six octets in hexadecimal with colons, in the kernel's spelling (lower case); `undefined`: the text is something else. */
export function parseMac(text: string): string | undefined {
  const lower = text.toLowerCase();
  return MAC.test(lower) ? lower : undefined;
}

/** Whether frames to it are for one device: no group's (the lowest bit of the first octet is 0), and not all zeros. */
export function isUnicastMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

/** One that no manufacturer gives away: locally administered, unicast (IEEE 802, 8.2.2). @param seed at least six bytes */
export function localMac(seed: Uint8Array): string {
  const octets = [...seed.subarray(0, 6)];
  octets[0] = ((octets[0] ?? 0) & 0xfc) | 0x02;
  return octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}
