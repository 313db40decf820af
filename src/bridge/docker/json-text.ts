/** A member of a JSON object, by where it stands in the text. */
interface Member {
  readonly key: string;
  /** Of its key. */
  readonly start: number;
  readonly valueStart: number;
  /** After its value. */
  readonly end: number;
}

/**
 * The text of a JSON object with some members set, and not one character of the others changed: their order, their
 * spaces and their numbers are somebody's own.
 *
 * @param text a JSON object; the caller has parsed it
 * @param changes by key; `undefined` removes a member
 */
export function setMembers(text: string, changes: Readonly<Record<string, unknown>>): string {
  return Object.entries(changes).reduce((now, [key, value]) => setMember(now, key, value), text);
}

function setMember(text: string, key: string, value: unknown): string {
  const { open, members } = membersOf(text);
  // Of two with one key, the last one counts.
  const index = members.findLastIndex((member) => member.key === key);
  const member = members[index];
  if (member === undefined)
    return value === undefined ? text : append(text, open, members.at(-1), key, value);
  if (value !== undefined) return replace(text, member.valueStart, member.end, JSON.stringify(value));
  const [before, after] = [members[index - 1], members[index + 1]];
  if (before !== undefined) return replace(text, before.end, member.end, '');
  return after === undefined
    ? replace(text, open, member.end, '')
    : replace(text, member.start, after.start, '');
}

/** Set off from the last member as that one is from what is before it. */
function append(text: string, open: number, last: Member | undefined, key: string, value: unknown): string {
  const member = `${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  if (last === undefined) return replace(text, open, text.lastIndexOf('}'), `\n  ${member}\n`);
  const [space = ''] = /\s*$/.exec(text.slice(0, last.start)) ?? [];
  return replace(text, last.end, last.end, `,${space}${member}`);
}

function replace(text: string, start: number, end: number, part: string): string {
  return text.slice(0, start) + part + text.slice(end);
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

function membersOf(text: string): { readonly open: number; readonly members: readonly Member[] } {
  const members: Member[] = [];
  const open = text.indexOf('{') + 1;
  let depth = 0;
  let key: { readonly text: string; readonly start: number } | undefined;
  let valueStart: number | undefined;
  const close = (end: number) => {
    if (key === undefined || valueStart === undefined) return;
    const raw = text.slice(valueStart, end);
    members.push({
      key: JSON.parse(key.text) as string,
      start: key.start,
      valueStart: end - raw.trimStart().length,
      end: valueStart + raw.trimEnd().length,
    });
    key = undefined;
    valueStart = undefined;
  };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') {
      if (depth === 1) close(index);
      depth--;
    } else if (depth === 1) {
      if (token === ',') close(index);
      else if (token === ':') valueStart ??= index + 1;
      else if (valueStart === undefined) key = { text: token, start: index };
    }
  }
  return { open, members };
}
