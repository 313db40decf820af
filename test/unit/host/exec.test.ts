import { describe, expect, test } from 'vitest';
import { lineReader, run, streamLines } from '../../../src/host/exec.ts';

describe('lineReader', () => {
  const read = (...chunks: string[]) => {
    const lines: string[] = [];
    const reader = lineReader((line) => lines.push(line));
    for (const chunk of chunks) reader(chunk);
    return lines;
  };

  test('puts lines together, however they are cut', () => {
    expect(read('a', 'b\nc', 'd\n', '\ne\nf')).toEqual(['ab', 'cd', '', 'e']);
  });

  test('keeps the beginning of a line without an end, and no more', () => {
    const [line, next] = read('x'.repeat(60_000), 'y'.repeat(60_000), 'z'.repeat(60_000), '\nnext\n');
    expect(line).toHaveLength(65_536);
    expect(line).toMatch(/^x{60000}y+$/);
    expect(next).toBe('next');
  });
});

describe('streamLines', () => {
  const stream = async (command: string, args: string[], signal = new AbortController().signal) => {
    const lines: string[] = [];
    const complaints: string[] = [];
    const how = await streamLines(command, args, {
      onLine: (line) => lines.push(line),
      onComplaint: (line) => complaints.push(line),
      signal,
    });
    return { lines, complaints, how };
  };

  test('passes on what a command says, and how it ends', async () => {
    const { lines, complaints, how } = await stream('sh', ['-c', 'echo one; echo two; echo oh >&2; exit 3']);
    expect(lines).toEqual(['one', 'two']);
    expect(complaints).toEqual(['oh']);
    expect(how).toBe('exit code 3');
  });

  test('names the command that is missing', async () => {
    await expect(stream('corduroy-no-such-command', [])).rejects.toThrow(
      'the command corduroy-no-such-command cannot be started: not found',
    );
  });

  test('ends the command when it is not wanted any more', async () => {
    const ending = new AbortController();
    const streaming = stream('sh', ['-c', 'echo begun; exec sleep 1000'], ending.signal);
    setTimeout(() => ending.abort(), 100);
    expect(await streaming).toMatchObject({ lines: ['begun'], how: 'signal SIGKILL' });
  });
});

test('a command that is missing is said at once, and nothing waits for it any more', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await expect(run('no-such-command-here', [], { timeout: 60_000 })).rejects.toThrow('cannot be started');
  expect(timers()).toBe(before);
});
