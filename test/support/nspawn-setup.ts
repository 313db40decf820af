import type { TestProject } from 'vitest/node';
import { type HostImage, hostImage } from './nspawn-image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    hostImage: HostImage;
  }
}

/** Runs once before the tests with whole hosts: these find what their hosts boot from, or say why they are skipped. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('hostImage', await hostImage());
}
