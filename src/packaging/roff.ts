/**
 * Text as a manual page holds it (groff_man(7)): every character stands for itself, dashes stay dashes that can be
 * copied into a shell, and what is beyond ASCII is named by its code point.
 */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
    .replace(/[^\n -~]/gu, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]`;
    })
    .replace(/^\./gm, '\\&.');
}

export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

export function section(title: string, ...body: readonly string[]): string {
  return [`.SH ${title}`, ...body].join('\n');
}

/** A term and what it means. @param term roff already */
export function item(term: string, text: string): string {
  return `.TP\n${term}\n${roff(text)}`;
}

/**
 * The free text of a command's help: paragraphs are filled, indented lines stay as they are. `Examples:` becomes a line
 * of its own.
 */
export function prose(text: string): string[] {
  return text
    .trim()
    .split(/\n\n+|\n(?=Examples?:)|(?<=:)\n(?= )/)
    .map((block) => {
      const lines = block.split('\n');
      return lines.some((line) => line.startsWith(' ')) ? example(lines) : `.PP\n${roff(block)}`;
    });
}

/** Lines as they are typed, but for the margin that they have in common. */
export function example(lines: readonly string[]): string {
  const margin = Math.min(...lines.map((line) => line.search(/\S|$/)));
  return ['.PP', '.RS 4', '.nf', ...lines.map((line) => roff(line.slice(margin))), '.fi', '.RE'].join('\n');
}
