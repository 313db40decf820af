// What is promised of the data path, as ratios within one run, and whether this run kept it. The median decides.
import { spreadOf } from './figures.mjs';

/**
 * `over` and `under` are paths, `column` what is divided. `atLeast` or `atMost` is the promise, `aim` what is hoped for
 * beyond it; with an aim alone nothing is promised.
 */
const RATIOS = [
  { column: 'tcp', over: 'native', under: 'vxlan', atLeast: 0.55, aim: 0.8 },
  { column: 'tcp', over: 'native', under: 'native-off', atLeast: 5 },
  { column: 'kpps', over: 'native', under: 'native-off', atLeast: 3 },
  { column: 'kpps', over: 'native', under: 'vxlan', aim: 1 },
  { column: 'p50', over: 'native', under: 'native-off', atMost: 1 },
  { column: 'tcp', over: 'dgram', under: 'dgram-off', atLeast: 3 },
];

/** Within 5 per cent of the same with two routes, and below 32 MB. */
const MANY_ROUTES = [
  { column: 'tcp', over: 'routes', under: 'few-routes', atLeast: 0.95 },
  { column: 'kpps', over: 'routes', under: 'few-routes', atLeast: 0.95 },
  { column: 'memory', over: 'routes', atMost: 32 },
];

/** The promises that the figures say something about: nothing was measured for the others. */
export function judge(figures) {
  return verdicts(RATIOS, figures);
}

export function judgeManyRoutes(figures) {
  return verdicts(MANY_ROUTES, figures);
}

function verdicts(promises, figures) {
  return promises.flatMap((promise) => {
    const { column, over, under } = promise;
    const values = under === undefined ? figures.values(over, column) : figures.ratios(column, over, under);
    const spread = spreadOf(values);
    return spread === undefined ? [] : [{ ...promise, spread, ...verdict(promise, spread.median) }];
  });
}

/** `kept` is absent where nothing is promised, `reached` where nothing is aimed at. */
function verdict({ atLeast, atMost, aim }, median) {
  const isPromised = atLeast !== undefined || atMost !== undefined;
  return {
    ...(isPromised && { kept: median >= (atLeast ?? -Infinity) && median <= (atMost ?? Infinity) }),
    ...(aim !== undefined && { reached: median >= aim }),
  };
}
