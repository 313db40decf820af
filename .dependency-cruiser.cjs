/** The import rules of docs/architecture.md. `net ← wire ← datapath`; decisions know interfaces, never the libraries. */
const only = (name, target, allowed, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: '^src/', pathNot: allowed },
  to: { path: target },
});
const restrict = (folder, allowed, comment) => ({
  name: `${folder}-imports`,
  severity: 'error',
  comment,
  from: { path: `^src/${folder}/` },
  to: { path: '^src/', pathNot: [`^src/${folder}/`, '^src/(errors|printable|secret)\\.ts$', ...allowed] },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      comment: 'A module that nothing imports is dead code.',
      from: {
        orphan: true,
        path: '^src/',
        pathNot: '^src/(corduroy|corduroyd|corduroy-datapath-dgram)\\.ts$',
      },
      to: {},
    },
    only('only-store-etcd-knows-etcd3', 'node_modules/etcd3', '^src/store/etcd/'),
    only('only-edges-parse-cidrs', 'node_modules/ip-cidr', '^src/(config|net)/'),
    only(
      'only-exec-starts-processes',
      '^(node:)?child_process$',
      '^src/(host/(exec|shell)|datapath/launch|lab/processes)\\.ts$',
    ),
    restrict('net', [], 'Values, no I/O.'),
    restrict('wire', ['^src/net/'], 'Bytes, no I/O.'),
    restrict('ipam', ['^src/net/'], 'Pure allocation.'),
    restrict('store', [], 'The store knows keys and bytes, not what they mean.'),
    restrict('datapath', ['^src/(net|wire)/'], 'The data plane holds no policy.'),
    restrict(
      'lease',
      ['^src/(net|ipam|store/store|config|observe)'],
      'Leases know the Store interface, not etcd.',
    ),
    restrict(
      'backend',
      ['^src/(net|wire|lease|config|host/state|datapath/datapath)'],
      'A backend computes; it runs nothing.',
    ),
    restrict(
      'enroll',
      ['^src/(net|config|store|host)/', '^src/backend/registry', '^src/daemon/(control-client|status)\\.ts$'],
      'How a host comes to belong to a cluster; the daemon is asked as by any command.',
    ),
    restrict('host', ['^src/net/'], 'Effects on the host, without policy.'),
    restrict('config', ['^src/net/'], 'Parsing and validation.'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
