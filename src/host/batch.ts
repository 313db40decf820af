import { messageOf } from '../errors.ts';
import { isMissing, run } from './exec.ts';

/** Milliseconds for all lines of one tool: ten thousand routes take about one second. */
const TIMEOUT = 60_000;
/** Characters of what tools say that are kept. */
const MAX_COMPLAINT = 500;

type Tool = 'ip' | 'bridge' | 'ethtool';

/**
 * Runs lines in their order: those that begin with `fdb` by bridge, one that begins with `ethtool` by that, and all others
 * by ip; as many as follow each other in one process. All are tried, whatever becomes of those before.
 *
 * @returns what the tools complained of; whether it matters, a second look at the host tells
 * @throws CorduroyError `host-command` where ip or bridge is missing
 */
export async function runBatch(lines: readonly string[]): Promise<string> {
  const complaints: string[] = [];
  for (const group of groupByTool(lines)) {
    const { stderr } = await runGroup(group);
    if (stderr.trim() !== '') complaints.push(stderr.trim().replaceAll('\n', ', '));
  }
  const all = complaints.join(', ');
  return all.length > MAX_COMPLAINT ? `${all.slice(0, MAX_COMPLAINT)}…` : all;
}

interface Group {
  readonly tool: Tool;
  readonly lines: string[];
}

export function groupByTool(lines: readonly string[]): Group[] {
  const groups: Group[] = [];
  for (const line of lines) {
    const tool = toolOf(line);
    const last = groups.at(-1);
    if (last?.tool === tool && tool !== 'ethtool') last.lines.push(line);
    else groups.push({ tool, lines: [line] });
  }
  return groups;
}

function toolOf(line: string): Tool {
  if (line.startsWith('fdb ')) return 'bridge';
  return line.startsWith('ethtool ') ? 'ethtool' : 'ip';
}

async function runGroup({ tool, lines }: Group): Promise<{ readonly stderr: string }> {
  const options = { allowFailure: true, timeout: TIMEOUT };
  if (tool === 'ethtool') return await runEthtool((lines[0] ?? '').split(' ').slice(1));
  return await run(tool, ['-force', '-batch', '-'], { ...options, input: `${lines.join('\n')}\n` });
}

/** It knows no batches. Few hosts need it: one that lacks it is to have all the rest, whatever becomes of this. */
async function runEthtool(words: readonly string[]): Promise<{ readonly stderr: string }> {
  try {
    return await run('ethtool', words, { allowFailure: true, timeout: TIMEOUT });
  } catch (error) {
    if (isMissing(error)) return { stderr: messageOf(error) };
    throw error;
  }
}
