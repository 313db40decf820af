import type { BackendKind } from '../backend.ts';
import { publicAddresses } from '../own-addresses.ts';

/** Leases subnets, and carries nothing: the routes are somebody else's, such as a router's or a cloud's. */
export const alloc: BackendKind = {
  type: 'alloc',
  families: [4, 6],
  check: (options) => ({
    value: {
      open: ({ iface, families }) => ({
        type: 'alloc',
        mtu: iface.mtu,
        attributes: publicAddresses(iface, families),
        capabilities: [],
        warnings: [],
        objectionTo: () => undefined,
        isDirect: () => true,
        desired: () => ({ host: { links: [], routes: [], sysctls: [] } }),
      }),
    },
    problems: [],
    unknownKeys: options.keysBut(['Type']),
  }),
};
