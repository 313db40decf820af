import type { Reporter, TestModule } from 'vitest/node';

/** Names every skipped test aloud, and closes with one line that people and CI can count by. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      if (module.state() === 'failed' && module.errors().length > 0) count.failed++;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') count.passed++;
        else if (result.state === 'failed') count.failed++;
        else {
          count.skipped++;
          const reason = result.state === 'skipped' && result.note ? `: ${result.note}` : '';
          process.stdout.write(`skipped  ${module.project.name}  ${test.fullName}${reason}\n`);
        }
      }
    }
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}
