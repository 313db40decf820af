import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** For the folders of tests: in memory where that can be had, since etcd and dpkg wait for the disk with every write. */
export const FAST_FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
