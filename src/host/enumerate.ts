/** How many are named of what may be thousands. */
const NAMED = 20;

/** For one line of a log: the first ones, and how many more there are. */
export function enumerate(things: readonly string[]): string {
  const named = things.slice(0, NAMED).join('; ');
  return things.length > NAMED ? `${named}; and ${things.length - NAMED} more` : named;
}
