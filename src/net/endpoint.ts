import type { Ip } from './ip.ts';

/** Where a peer's data plane listens: an outer address and a UDP port. */
export interface Endpoint {
  readonly address: Ip;
  /** 1 … 65535 */
  readonly port: number;
}

/** `192.0.2.1:8285` or `[2001:db8::1]:8285`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
