import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corduroydCommand } from '../../../src/cli/corduroyd-command.ts';
import { corduroyProgram, withSubcommands } from '../../../src/cli/program.ts';
import { FLAGS } from '../../../src/config/flags.ts';
import { configFilePage, corduroydPage, corduroyPage } from '../../../src/packaging/manual.ts';
import { prose, roff } from '../../../src/packaging/roff.ts';

const pages = {
  'corduroy.1': corduroyPage(corduroyProgram()),
  'corduroyd.8': corduroydPage(corduroydCommand()),
  'corduroyd.json.5': configFilePage(),
};

describe('text in a manual page', () => {
  test('a dash can be copied into a shell, and no character is a command', () => {
    expect(roff("--a 'b' \\c\n.d …")).toBe('\\-\\-a \\(aqb\\(aq \\ec\n\\&.d \\[u2026]');
  });

  test('indented lines stay lines, also below a term, and other ones are filled', () => {
    expect(prose('\nOne\ntwo.\n\na   first\n    more\nExamples:\n  corduroy x\n  corduroy y\n')).toEqual([
      '.PP\nOne\ntwo.',
      '.PP\n.RS 4\n.nf\na   first\n    more\n.fi\n.RE',
      '.PP\nExamples:',
      '.PP\n.RS 4\n.nf\ncorduroy x\ncorduroy y\n.fi\n.RE',
    ]);
  });
});

const needsMan = spawnSync('man', ['--version']).error === undefined ? '' : ': needs man-db';

describe.skipIf(needsMan !== '')(`the manual pages${needsMan}`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As somebody reads it, all on one line. */
  function rendered(name: keyof typeof pages): string {
    const file = join(folder, name);
    writeFileSync(file, pages[name]);
    const { stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', file], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8', MANPAGER: 'cat', MANWIDTH: '100', MAN_KEEP_FORMATTING: '' },
    });
    expect(stderr).toBe('');
    return stdout.replace(/\s+/g, ' ');
  }

  test('corduroy(1) has every command, with its options and examples', () => {
    const page = rendered('corduroy.1');
    for (const command of withSubcommands(corduroyProgram())) {
      const path = [command.parent?.parent, command.parent, command].flatMap((one) => one?.name() ?? []);
      expect(page).toContain(path.join(' '));
      for (const option of command.options) expect(page).toContain(option.long ?? option.short);
    }
    expect(page).toContain('corduroy config set \'{"Network": "10.5.0.0/16"}\' # once for the cluster');
  });

  test('corduroyd(8) has every flag, with its help', () => {
    const page = rendered('corduroyd.8');
    for (const [name, { help }] of Object.entries(FLAGS)) {
      expect(page).toContain(`${name.length === 1 ? '-' : '--'}${name}`);
      expect(page).toContain(help);
    }
  });

  test('corduroyd.json(5) has every setting, with its values', () => {
    const page = rendered('corduroyd.json.5');
    expect(page).toContain('lease-ttl (number from 5 to 31536000; default: 86400) time to live of the lease');
    expect(page).toContain('log-format ("text", "json"; default: "text")');
    expect(page).not.toContain(' config-file (');
  });
});
