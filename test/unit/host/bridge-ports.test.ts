import { expect, test } from 'vitest';
import { BridgePorts } from '../../../src/host/bridge-ports.ts';
import type { ObservedLink } from '../../../src/host/state.ts';

const link = (index: number, name: string, master?: string): ObservedLink => ({
  name,
  index,
  kind: 'veth',
  multiQueue: false,
  alias: '',
  up: true,
  mtu: 1500,
  queueLength: 0,
  addresses: [],
  ...(master !== undefined && { master }),
});
const found = (...links: ObservedLink[]) => ({ links, routes: [], vxlans: new Map() });
const BRIDGE = link(2, 'cbr0');

test('the ports as last seen at a bridge that stood, and those attached since, outlive the bridge', () => {
  const ports = new BridgePorts('cbr0');
  ports.look(found(BRIDGE, link(5, 'v5', 'cbr0'), link(6, 'v6', 'docker0'), link(7, 'v7')));
  ports.attached({ index: 8, name: 'v8' });
  ports.look(found(link(5, 'v5'), link(8, 'v8')));
  expect(ports.known).toEqual([
    { index: 5, name: 'v5' },
    { index: 8, name: 'v8' },
  ]);
});

test('one that was taken away is forgotten at the next look', () => {
  const ports = new BridgePorts('cbr0');
  ports.attached({ index: 5, name: 'v5' });
  ports.look(found(BRIDGE, link(5, 'v5')));
  expect(ports.known).toEqual([]);
});
