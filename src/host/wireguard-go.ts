import { CorduroyError } from '../errors.ts';
import { run, runIfThere } from './exec.ts';

/** Where `wg` finds the device of a wireguard-go. */
export function wireguardGoSocket(device: string): string {
  return `/run/wireguard/${device}.sock`;
}

/** What it needs: to attach to a TUN device and mark packets, and a UDP port below 1024. */
const CAPABILITIES = ['net_admin', 'net_bind_service'];

/**
 * Has wireguard-go make a device and carry its packets. It goes on when this process ends, and ends when the device is
 * deleted. Resolves when the device is there.
 *
 * @param asService as a service of systemd: its processes of its own end along with a service
 * @throws CorduroyError `host-command`
 */
export async function startWireguardGo(device: string, asService: boolean): Promise<void> {
  if ((await runIfThere('wireguard-go', ['--version'])) === undefined) {
    const text =
      `the kernel has no WireGuard, and wireguard-go is not there to make ${device} in its place: ` +
      'modprobe wireguard, or apt-get install wireguard-go';
    throw new CorduroyError('host-command', text, { retryable: true });
  }
  if (asService) await run('systemd-run', serviceWords(device), { timeout: START_TIMEOUT });
  else await run('env', await sessionWords(device), { timeout: START_TIMEOUT });
}

/** Milliseconds. It takes some ten. */
const START_TIMEOUT = 20_000;

/** It puts itself into the background once its device and socket are there. */
async function sessionWords(device: string): Promise<string[]> {
  const path = process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin';
  // Nothing else of the daemon's environment: it may hold passwords.
  const words = ['--ignore-environment', '--chdir=/', `PATH=${path}`, 'setsid'];
  return [...words, ...(await restriction()), 'wireguard-go', device];
}

/** Where this process may not give up capabilities, wireguard-go has those that are left to it. */
async function restriction(): Promise<string[]> {
  const few = CAPABILITIES.map((name) => `+${name}`).join(',');
  const words = ['setpriv', '--no-new-privs', '--inh-caps', '-all', '--bounding-set', `-all,${few}`];
  const [program = '', ...args] = words;
  const tried = await runIfThere(program, [...args, 'true']);
  return tried?.code === 0 ? words : [];
}

/** A unit of systemd that is gone when wireguard-go has ended, however it did. */
function serviceWords(device: string): string[] {
  const few = CAPABILITIES.map((name) => `CAP_${name.toUpperCase()}`).join(' ');
  const properties = [
    `CapabilityBoundingSet=${few}`,
    'NoNewPrivileges=yes',
    'RuntimeDirectory=wireguard',
    'RuntimeDirectoryPreserve=yes',
    'LimitCORE=0',
    'UMask=0077',
    'ProtectSystem=strict',
    'DevicePolicy=closed',
    'DeviceAllow=/dev/net/tun rw',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    'ProtectClock=yes',
    'ProtectControlGroups=yes',
    'ProtectHostname=yes',
    'ProtectKernelLogs=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelTunables=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
  ];
  return [
    '--quiet',
    '--collect',
    '--service-type=forking',
    `--unit=corduroy-wireguard-go-${device}.service`,
    `--description=Corduroy: WireGuard device ${device}, without the kernel's help`,
    '--setenv=LOG_LEVEL=error',
    ...properties.map((property) => `--property=${property}`),
    'wireguard-go',
    device,
  ];
}
