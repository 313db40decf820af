import { InvalidArgumentError, Option } from 'commander';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
/** Seconds: a minute, to be pasted at all; a year. */
const [SHORTEST, LONGEST] = [60, 365 * 86_400];

/** `30m`, `24h`, `7d`, `3600s`. @returns seconds @throws InvalidArgumentError */
export function tokenTtl(text: string): number {
  const [, count, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS[unit] ?? Number.NaN);
  if (seconds >= SHORTEST && seconds <= LONGEST) return seconds;
  throw new InvalidArgumentError('It is a time such as 30m, 24h or 7d, from 1m to 365d.');
}

/** Seconds, a day unless given. */
export function ttlOption(flag: `--${string}`): Option {
  return new Option(`${flag} <TIME>`, 'how long a token lets hosts in: 30m, 24h, 7d')
    .argParser(tokenTtl)
    .default(tokenTtl('24h'), '24h');
}
