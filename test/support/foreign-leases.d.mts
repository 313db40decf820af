/** foreign-leases.mjs tells of them. */
export interface ForeignLease {
  readonly name: string;
  readonly subnet: string;
  /** The subnet's first address. */
  readonly first: string;
  readonly address: string;
  readonly mac?: string;
  readonly publicKey?: string;
  readonly entries: readonly (readonly [string, string])[];
}
export const MANY_PEERS_NETWORK: string;
export const MANY_PEERS_ADDRESS: string;
export function foreignLease(type: string, index: number, generation?: number): ForeignLease;
export function transactions(prefix: string, leases: readonly ForeignLease[]): string[];
