import type { NspawnHost } from './nspawn.ts';

/**
 * What others write while a host runs: the package manager's records, logs, Docker and its containers, and that it was
 * enabled, systemd's own memory, what `useradd` keeps of the files it changed.
 */
const OTHERS =
  /^file \/(root|tmp|boot|var\/(tmp|log|cache|backups|lib\/(dpkg|apt|systemd|docker|containerd|private))|opt\/containerd|etc\/(rc\d\.d\/|systemd\/system\/multi-user\.target\.wants\/docker\.service|docker(\/key\.json)?$|cni(\/net\.d)?$|\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-))|^link (docker0|veth|lo|eth0)/;

/** All that a package may leave on a host: files, users, units, devices, routes, rules, processes. */
export async function footprint(host: NspawnHost): Promise<Set<string>> {
  const lines = await host.sh(`
    find / -xdev -printf 'file %p\\n'
    find /run -xdev \\( -path '/run/*corduroy*' -o -path '/run/flannel*' \\) -printf 'file %p\\n'
    sed 's/^/user /' /etc/passwd; sed 's/^/group /' /etc/group
    systemctl list-units --all --plain --no-legend '*corduroy*' | sed 's/^/unit /'
    ip -br link | sed 's/[@ ].*//; s/^/link /'
    ip route | grep -v docker0 | sed 's/^/route /'
    nft list tables | sed 's/^/nft /' | grep corduroy || :
    iptables-save | grep -i corduroy | sed 's/^/iptables /' || :
    pgrep -a corduroy | sed 's/^/process /' || :`);
  return new Set(lines.split('\n').filter((line) => !OTHERS.test(line)));
}

/** The differences, a line each. */
export function leftBehind(before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  return [
    ...[...after].filter((line) => !before.has(line)).map((line) => `left: ${line}`),
    ...[...before].filter((line) => !after.has(line)).map((line) => `missing: ${line}`),
  ];
}
