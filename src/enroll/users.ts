import type { EtcdAdministration } from '../store/etcd/administration.ts';

/** The user that every host of the cluster logs in as. */
export const HOST_USER = 'corduroyd';
export const ROOT_USER = 'root';
const HOST_ROLE = 'corduroy-host';

export interface EstablishedUsers {
  /** The network's, without a slash at its end. */
  readonly prefix: string;
  readonly rootPassword: string;
  readonly hostPassword: string;
}

/**
 * An etcd that lets everybody do everything becomes one that asks for a password: root may do everything, hosts what
 * docs/etcd.md gives them. May be repeated after it was interrupted.
 */
export async function establishUsers(
  administration: EtcdAdministration,
  { prefix, rootPassword, hostPassword }: EstablishedUsers,
): Promise<void> {
  await administration.addRole(HOST_ROLE, [
    { permission: 'read', key: `${prefix}/`, prefix: true },
    { permission: 'readwrite', key: `${prefix}/subnets/`, prefix: true },
    { permission: 'readwrite', key: `${prefix}/corduroy/`, prefix: true },
  ]);
  await setUser(administration, HOST_USER, hostPassword, HOST_ROLE);
  await administration.addRole(ROOT_USER, []);
  await setUser(administration, ROOT_USER, rootPassword, ROOT_USER);
  await administration.enableAuthentication();
}

async function setUser(
  administration: EtcdAdministration,
  name: string,
  password: string,
  role: string,
): Promise<void> {
  const added = await administration.addUser(name, password);
  if (!added) await administration.setPassword(name, password);
  await administration.grantRole(name, role);
}
