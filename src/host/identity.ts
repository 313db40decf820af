import { createHash, createHmac, randomBytes } from 'node:crypto';
import { messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from './atomic-file.ts';

export interface IdentityFiles {
  /** See machine-id(5). */
  readonly machineIdFile: string;
  /** Where an id is kept that had to be made up. */
  readonly nodeIdFile: string;
  readonly instance: string;
}

/** As systemd's application-specific ids: the machine-id itself never leaves the host. */
const PURPOSE = 'corduroy node';
const ID = /^[0-9a-f]{32}$/;

/**
 * The id of this machine, for one instance: 32 hexadecimal digits, the same at every start. A machine without a
 * machine-id gets a random one, which is kept.
 *
 * @returns the id, and a sentence for the log when it is not the machine-id's
 * @throws CorduroyError `host-file` when a random one cannot be kept
 */
export function readNodeId({ machineIdFile, nodeIdFile, instance }: IdentityFiles): {
  id: string;
  remark?: string;
} {
  const { machineId, problem } = readMachineId(machineIdFile);
  if (machineId !== undefined) {
    return {
      id: createHmac('sha256', machineId).update(`${PURPOSE} ${instance}`).digest('hex').slice(0, 32),
    };
  }
  const kept = readIfThere(nodeIdFile)?.trim();
  if (kept !== undefined && ID.test(kept)) {
    return { id: kept, remark: `${problem}: this host is known by the random id in ${nodeIdFile} instead` };
  }
  const id = randomBytes(16).toString('hex');
  writeAtomically(nodeIdFile, `${id}\n`, 0o600);
  const damaged = kept === undefined ? '' : `, and what stood in ${nodeIdFile} is no id`;
  return { id, remark: `${problem}${damaged}: this host has a new random id, kept in ${nodeIdFile}` };
}

function readMachineId(path: string): { machineId?: string; problem?: string } {
  let text: string | undefined;
  try {
    text = readIfThere(path)?.trim();
  } catch (error) {
    return { problem: messageOf(error) };
  }
  if (text === undefined) return { problem: `there is no ${path}` };
  return ID.test(text)
    ? { machineId: text }
    : { problem: `${path} holds no machine-id (32 hexadecimal digits)` };
}

/** Unreadable to all but root, and absent in most containers and namespaces. */
const PRODUCT_UUID = '/sys/class/dmi/id/product_uuid';

/**
 * A text that tells two machines with one machine-id apart, because a copied disk does not take along what it is made of.
 *
 * @param mac of the interface that the traffic between hosts goes by
 * @returns 16 hexadecimal digits
 */
export function hardwareText(mac: string, productUuid = readUuid()): string {
  return createHash('sha256').update(`${mac.toLowerCase()} ${productUuid}`).digest('hex').slice(0, 16);
}

let productUuid: string | undefined;

/** The kernel asks the firmware for it: once is enough. */
function readUuid(): string {
  productUuid ??= askForUuid();
  return productUuid;
}

function askForUuid(): string {
  try {
    return readIfThere(PRODUCT_UUID)?.trim().toLowerCase() ?? '';
  } catch {
    return '';
  }
}
