import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { CorduroyError } from '../../errors.ts';
import { Lab } from '../../lab/lab.ts';
import { LAB_NAME, type LabHost, labFolder } from '../../lab/topology.ts';
import { requireRoot } from '../context.ts';

/** The built programs lie two folders up from this file. */
export const PROGRAMS = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export function labNameOption(command: Command): Command {
  return command.option('--name <NAME>', 'the lab, 1 to 8 of a-z and 0-9', parseName, 'lab');
}

function parseName(text: string): string {
  if (!LAB_NAME.test(text)) throw new InvalidArgumentError('It has 1 to 8 of the characters a-z and 0-9.');
  return text;
}

/** @throws CorduroyError `usage` when it is not up */
export function findLab(name: string): Lab {
  requireRoot('corduroy lab');
  const lab = Lab.find(name, PROGRAMS);
  if (lab === undefined)
    throw new CorduroyError(
      'usage',
      `there is no lab ${name} (${labFolder(name)}): start it with: corduroy lab up --name ${name}`,
    );
  return lab;
}

/** @param place `h1` or `c1`. @throws CorduroyError `usage` naming those that there are */
export function findHost(lab: Lab, place: string): LabHost {
  const hosts = lab.hosts();
  const host = hosts.find((one) => one.name === place || one.container.name === place);
  if (host === undefined)
    throw new CorduroyError(
      'usage',
      `${place} is not in the lab; there are ${hosts.flatMap((one) => [one.name, one.container.name]).join(', ')}`,
    );
  return host;
}
