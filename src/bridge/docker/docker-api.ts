import { z } from 'zod';
import { CorduroyError } from '../../errors.ts';
import { printable } from '../../printable.ts';
import { type DockerAnswer, dockerRequest, nonsense } from './http.ts';

/** What is asked of dockerd: its API has far more. */
const versionSchema = z.object({ Version: z.string(), ApiVersion: z.string().regex(/^\d{1,3}\.\d{1,4}$/) });

const networkSchema = z.object({
  Id: z.string().min(1),
  Name: z.string(),
  Driver: z.string(),
  EnableIPv6: z.boolean().nullish(),
  IPAM: z.object({
    Config: z.array(z.object({ Subnet: z.string().optional(), Gateway: z.string().optional() })).nullish(),
  }),
  Options: z.record(z.string(), z.string()).nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
});

/** A network as dockerd shows it, before 1.28 of the API with its containers, since then without. */
export type DockerNetwork = z.infer<typeof networkSchema>;

const containerSchema = z.object({ Id: z.string(), Names: z.array(z.string()).nullish() });
const errorSchema = z.object({ message: z.string() });

/** The addresses of a network, of one family. */
export interface Pool {
  readonly subnet: string;
  /** The bridge's. */
  readonly gateway: string;
}

/** Which family a subnet or an address is of. */
export function isIpv6(text: string | undefined): boolean {
  return text?.includes(':') === true;
}

/** What a network is created with. */
export interface NewNetwork {
  readonly name: string;
  /** One a family, IPv4 first. */
  readonly pools: readonly Pool[];
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** A version of the API: with minor 48, 1.48. */
export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

export function isAtLeast(api: ApiVersion, { major, minor }: ApiVersion): boolean {
  return api.major > major || (api.major === major && api.minor >= minor);
}

/** Of the API (Docker 28.0). */
const IPV6_ONLY_SINCE: ApiVersion = { major: 1, minor: 48 };

/**
 * dockerd's API, as far as networks go, in dockerd's own newest version: what it is asked has been in all of them since
 * 1.24. Every call is a connection of its own.
 */
export class DockerApi {
  /** Of dockerd, such as `28.2.2`. */
  readonly version: string;
  readonly api: ApiVersion;
  readonly #socketPath: string;

  private constructor(socketPath: string, { Version, ApiVersion }: z.infer<typeof versionSchema>) {
    const [major, minor] = ApiVersion.split('.').map(Number);
    this.version = printable(Version);
    this.api = { major: major ?? 0, minor: minor ?? 0 };
    this.#socketPath = socketPath;
  }

  /** @throws CorduroyError `docker`, retryable where dockerd is away */
  static async connect(socketPath: string): Promise<DockerApi> {
    // Without a version in front: how else would one know which there are.
    const answer = await dockerRequest(socketPath, 'GET', '/version');
    return new DockerApi(
      socketPath,
      understood(versionSchema, accepted(answer, 'to say its version'), socketPath),
    );
  }

  /** Networks with exactly this name: Docker lets several have one. */
  async networks(name: string): Promise<DockerNetwork[]> {
    const path = `/networks?filters=${filter({ name: [name] })}`;
    const found = this.#understood(
      z.array(networkSchema),
      await this.#call('GET', path, 'to list its networks'),
    );
    return found.filter((network) => network.Name === name); // Docker's filter takes parts of names.
  }

  /** Names of the containers attached to a network, of those that do not run, too. */
  async containersOf({ Id, Name }: Pick<DockerNetwork, 'Id' | 'Name'>): Promise<string[]> {
    const path = `/containers/json?all=1&filters=${filter({ network: [Id, Name] })}`;
    const body = await this.#call('GET', path, 'to list its containers');
    return this.#understood(z.array(containerSchema), body).map(({ Id: id, Names }) =>
      printable(Names?.[0]?.replace(/^\//, '') ?? id.slice(0, 12)),
    );
  }

  async createNetwork({ name, pools, options, labels }: NewNetwork): Promise<void> {
    const hasIpv6 = pools.some(({ subnet }) => isIpv6(subnet));
    const subnets = pools.map(({ subnet }) => subnet);
    const content = {
      Name: name,
      CheckDuplicate: true, // Needed before 1.44, where two networks could get one name.
      Driver: 'bridge',
      ...(hasIpv6 && { EnableIPv6: true }),
      // Before 1.48 there is none without IPv4: Docker takes a subnet of its own then, which no other host reaches.
      ...(subnets.every(isIpv6) && isAtLeast(this.api, IPV6_ONLY_SINCE) && { EnableIPv4: false }),
      IPAM: {
        Driver: 'default',
        Config: pools.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })),
      },
      Options: options,
      Labels: labels,
    };
    await this.#call(
      'POST',
      '/networks/create',
      `to make network ${name} with ${subnets.join(' and ')}`,
      content,
    );
  }

  async removeNetwork({ Id, Name }: Pick<DockerNetwork, 'Id' | 'Name'>): Promise<void> {
    await this.#call('DELETE', `/networks/${encodeURIComponent(Id)}`, `to remove network ${Name}`);
  }

  async #call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    what: string,
    body?: unknown,
  ): Promise<unknown> {
    const { major, minor } = this.api;
    const answer = await dockerRequest(this.#socketPath, method, `/v${major}.${minor}${path}`, { body });
    return accepted(answer, what);
  }

  #understood<T>(schema: z.ZodType<T>, body: unknown): T {
    return understood(schema, body, this.#socketPath);
  }
}

function filter(wanted: Readonly<Record<string, readonly string[]>>): string {
  return encodeURIComponent(JSON.stringify(wanted));
}

/** The body of an answer that says yes. @throws CorduroyError `docker` with what dockerd says against it */
function accepted({ status, body }: DockerAnswer, what: string): unknown {
  if (status >= 200 && status < 300) return body;
  const said = errorSchema.safeParse(body).data?.message ?? `status ${status}`;
  throw new CorduroyError('docker', `Docker refuses ${what}: ${printable(said)}`);
}

function understood<T>(schema: z.ZodType<T>, body: unknown, socketPath: string): T {
  const { data, error } = schema.safeParse(body);
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  throw nonsense(
    socketPath,
    printable(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`),
  );
}
