import {
  EtcdRoleExistsError,
  EtcdRoleNotFoundError,
  EtcdUserExistsError,
  EtcdUserNotFoundError,
} from 'etcd3';
import type { EtcdClient } from './client.ts';
import { EtcdConnection } from './connection.ts';
import type { Need } from './errors.ts';
import type { EtcdOptions } from './options.ts';
import { prefixRange } from './wire.ts';

/**
 * Users and roles of etcd, for whom has the role `root`. Every call may be repeated: what is there already, or gone
 * already, is no error. Rejects as the Store does.
 */
export interface EtcdAdministration {
  users(): Promise<readonly string[]>;
  roles(): Promise<readonly string[]>;
  /** @returns whether it was added; one that is there keeps its password */
  addUser(name: string, password: string): Promise<boolean>;
  /** Ends what this user is logged in with, too. */
  setPassword(name: string, password: string): Promise<void>;
  removeUser(name: string): Promise<void>;
  /** Adds the role where it is missing, and the permissions to those that it has. */
  addRole(name: string, permissions: readonly Need[]): Promise<void>;
  removeRole(name: string): Promise<void>;
  grantRole(user: string, role: string): Promise<void>;
  /** From here on etcd asks everybody who they are. Needs a user `root` with the role `root`. */
  enableAuthentication(): Promise<void>;
  close(): void;
}

/** Does not connect yet. @throws CorduroyError `usage` when the options contradict each other */
export function openEtcdAdministration(options: EtcdOptions): EtcdAdministration {
  return new Administration(options);
}

type Calls = Parameters<Parameters<EtcdClient['repeatable']>[1]>[0];
type Auth = Calls['auth'];

class Administration implements EtcdAdministration {
  readonly #connection: EtcdConnection;

  constructor(options: EtcdOptions) {
    this.#connection = new EtcdConnection(options);
  }

  async users(): Promise<readonly string[]> {
    return (await this.#call('list the users', (auth) => auth.userList())).users;
  }

  async roles(): Promise<readonly string[]> {
    return (await this.#call('list the roles', (auth) => auth.roleList())).roles;
  }

  async addUser(name: string, password: string): Promise<boolean> {
    return this.#unless(EtcdUserExistsError, `add the user "${name}"`, (auth) =>
      auth.userAdd({ name, password }),
    );
  }

  async setPassword(name: string, password: string): Promise<void> {
    await this.#call(`set the password of the user "${name}"`, (auth) =>
      auth.userChangePassword({ name, password }),
    );
  }

  async removeUser(name: string): Promise<void> {
    await this.#unless(EtcdUserNotFoundError, `remove the user "${name}"`, (auth) =>
      auth.userDelete({ name }),
    );
  }

  async addRole(name: string, permissions: readonly Need[]): Promise<void> {
    await this.#unless(EtcdRoleExistsError, `add the role "${name}"`, (auth) => auth.roleAdd({ name }));
    for (const { permission, key, prefix } of permissions) {
      const range = prefix ? prefixRange(Buffer.from(key)) : { key: Buffer.from(key), range_end: NO_RANGE };
      const permType = permission === 'read' ? 'Read' : 'Readwrite';
      await this.#call(`let the role "${name}" ${permission} "${key}"`, (auth) =>
        auth.roleGrantPermission({ name, perm: { permType, ...range } }),
      );
    }
  }

  async removeRole(name: string): Promise<void> {
    await this.#unless(EtcdRoleNotFoundError, `remove the role "${name}"`, (auth) =>
      auth.roleDelete({ role: name }),
    );
  }

  async grantRole(user: string, role: string): Promise<void> {
    await this.#call(`give the user "${user}" the role "${role}"`, (auth) =>
      auth.userGrantRole({ user, role }),
    );
  }

  async enableAuthentication(): Promise<void> {
    await this.#call('enable authentication', (auth) => auth.authEnable());
  }

  close(): void {
    this.#connection.close();
  }

  /** All of these calls bring about a state and not a change: they may be carried out twice. */
  async #call<T>(operation: string, call: (auth: Auth) => Promise<T>): Promise<T> {
    return this.#connection.use((client) => client.repeatable(operation, ({ auth }) => call(auth)));
  }

  /** @returns false where etcd answers with the error that means: it is so already */
  async #unless(
    already: new (message: string) => Error,
    operation: string,
    call: (auth: Auth) => Promise<unknown>,
  ): Promise<boolean> {
    return this.#call(operation, async (auth) => {
      try {
        await call(auth);
        return true;
      } catch (error) {
        if (error instanceof already) return false;
        throw error;
      }
    });
  }
}

/** In a permission: the one key alone. */
const NO_RANGE = Buffer.alloc(0);
