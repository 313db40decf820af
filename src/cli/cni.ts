import { Command } from 'commander';
import { installCommand } from './cni/install.ts';
import { removeCommand } from './cni/remove.ts';

export function cniCommand(): Command {
  const command = new Command('cni')
    .description(
      "give podman, containerd and nerdctl this host's subnet: a CNI network configuration, kept current",
    )
    .addHelpText(
      'after',
      `
Examples:
  corduroy cni install
  corduroy cni remove`,
    );
  for (const sub of [installCommand(), removeCommand()]) command.addCommand(sub);
  return command;
}
