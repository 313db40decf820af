// The figures of a run: one for each path, column and round, and what is made of them.

/** Median and extremes. `undefined` of nothing. */
export function spreadOf(values) {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

export class Figures {
  /** Path → column → figures by round; a hole where a measurement failed. */
  #byPath = new Map();

  add(path, round, figures) {
    for (const [column, value] of Object.entries(figures)) {
      this.#rounds(path, column)[round] = value;
    }
  }

  /** The figures that were taken, in the order of the rounds. */
  values(path, column) {
    return this.#rounds(path, column).filter((value) => value !== undefined);
  }

  spread(path, column) {
    return spreadOf(this.values(path, column));
  }

  /**
   * One path's figure divided by another's, within each round that has both: what drifts from round to round is in
   * both, and falls out.
   */
  ratios(column, over, under) {
    const below = this.#rounds(under, column);
    return this.#rounds(over, column).flatMap((value, round) =>
      value === undefined || below[round] === undefined ? [] : [value / below[round]],
    );
  }

  #rounds(path, column) {
    if (!this.#byPath.has(path)) this.#byPath.set(path, new Map());
    const columns = this.#byPath.get(path);
    if (!columns.has(column)) columns.set(column, []);
    return columns.get(column);
  }
}
