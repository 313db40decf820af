/**
 * SIGHUP ends a process that does not handle it, and systemd takes that for an end that was wanted. So corduroyd.ts
 * imports this first: what comes before there are settings to read again is kept until then.
 */
let early = false;

function keep(): void {
  early = true;
}

process.on('SIGHUP', keep);

/** From now on SIGHUP means `reload`; so does one that came before. */
export function obeyHangups(reload: () => void): void {
  process.on('SIGHUP', reload).off('SIGHUP', keep);
  if (early) reload();
}
