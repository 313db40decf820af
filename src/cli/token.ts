import { Command } from 'commander';
import { withAdministrator } from '../enroll/administrator.ts';
import { etcdAsItRuns } from '../enroll/etcd-service.ts';
import { changeHostPassword, issueToken } from '../enroll/issue.ts';
import type { FounderLayout } from '../enroll/layout.ts';
import { listTokens, type NewToken, revokeAllTokens, revokeToken, sweepTokens } from '../enroll/tokens.ts';
import { CorduroyError } from '../errors.ts';
import { note, optionsOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';
import { founderFiles } from './enrolled-host.ts';
import { duration, table } from './format.ts';
import { ttlOption } from './token-ttl.ts';

export function tokenCommand(): Command {
  const command = new Command('token')
    .description(
      'make, list and revoke the tokens that let hosts join, on the host where corduroy init was run',
    )
    .addHelpText('after', '\nExample:\n  corduroy token create');
  return command
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand())
    .addCommand(rotateCommand());
}

function createCommand(): Command {
  const command = new Command('create')
    .description('print a new join token on standard output, and nothing else there')
    .addOption(ttlOption('--ttl'))
    .option('--json', 'print the token, its id and its end as JSON')
    .addHelpText(
      'after',
      `
A token lets any number of hosts in until it ends. Whoever has it can become a host of the network: hand it on as you
would a password.

Examples:
  corduroy token create
  corduroy token create --ttl 1h | ssh root@next corduroy join -
`,
    )
    .action(async ({ ttl, json }: { ttl: number; json?: true }) => {
      const layout = layoutOf(command);
      const made = await withAdministrator(layout, (administrator) => issueToken(administrator, layout, ttl));
      printToken(made, json === true);
    });
  return withDaemonFlags(command);
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list the tokens that let hosts in now; the tokens themselves are kept nowhere')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  corduroy token list\n  corduroy token list --json\n')
    .action(async ({ json }: { json?: true }) => {
      const tokens = await withAdministrator(layoutOf(command), async (administrator) => {
        await sweepTokens(administrator);
        return await listTokens(administrator);
      });
      if (json) return printJson({ schema: 1, tokens });
      const rows = tokens.map(({ id, createdAt, expiresIn }) => [id, createdAt, `in ${duration(expiresIn)}`]);
      print(rows.length === 0 ? 'no tokens' : table([['ID', 'CREATED', 'EXPIRES'], ...rows]));
    });
  return withDaemonFlags(command);
}

function revokeCommand(): Command {
  const command = new Command('revoke')
    .argument('<id>', 'of the token, as corduroy token list shows it')
    .description('end a token now; hosts that have joined with it stay')
    .addHelpText('after', '\nExample:\n  corduroy token revoke 5d1e07a2c9\n')
    .action(async (id: string) => {
      if (!/^[0-9a-f]{10}$/.test(id))
        throw new CorduroyError('usage', 'a token id has ten hexadecimal digits: corduroy token list');
      const known = await withAdministrator(layoutOf(command), async (administrator) => {
        await sweepTokens(administrator);
        return await revokeToken(administrator, id);
      });
      if (!known)
        throw new CorduroyError(
          'usage',
          `there is no token ${id}: corduroy token list shows those there are`,
        );
      print(`revoked ${id}`);
    });
  return withDaemonFlags(command);
}

function rotateCommand(): Command {
  const command = new Command('rotate')
    .description('end all tokens now, and print a new one')
    .addOption(ttlOption('--ttl'))
    .option('--hosts', "change the hosts' password for etcd, too: each has to join again")
    .option('--json', 'print the token, its id and its end as JSON')
    .addHelpText(
      'after',
      `
With --hosts, etcd refuses every host but this one until it has joined again with the new token; it forwards packets all
the while, and keeps its subnet. That is how a host is shut out that is no longer to be trusted: have all others
join again within a day, before their leases end. etcd is restarted, as it asks for the password of a watch only once.

Examples:
  corduroy token rotate
  corduroy token rotate --hosts --ttl 2h
`,
    )
    .action(async ({ ttl, hosts, json }: { ttl: number; hosts?: true; json?: true }) => {
      const layout = layoutOf(command);
      await withAdministrator(layout, async (administrator) => {
        const revoked = await revokeAllTokens(administrator);
        note(revoked.length === 0 ? 'there was no token to revoke' : `revoked ${revoked.join(', ')}`);
        if (hosts) await changeHostPassword(administrator, layout, etcdAsItRuns(note));
      });
      const made = await withAdministrator(layout, (administrator) => issueToken(administrator, layout, ttl));
      if (hosts) note("the hosts' password is another: every host but this one has to join again");
      printToken(made, json === true);
    });
  return withDaemonFlags(command);
}

/** @throws CorduroyError `usage` for anybody but root, who alone may read the administrator's password */
function layoutOf(command: Command): FounderLayout {
  requireRoot('corduroy token', "to read the administrator's password");
  return founderFiles(optionsOf(command));
}

function printToken({ id, token, endsAt }: NewToken, json: boolean): void {
  const expiresAt = endsAt.toISOString();
  if (json) printJson({ schema: 1, id, token, expiresAt, join: `corduroy join ${token}` });
  else {
    print(token);
    note(`token ${id} lets hosts in until ${expiresAt}. On each: corduroy join TOKEN`);
  }
}
