import type { Io } from './output.ts';

/** 0 done; 1 refused or failed; 2 usage. */
export type ExitCode = number;

/** What a command gets besides its own options. */
export interface CommandContext {
  readonly io: Io;
  readonly json: boolean;
  /** Sets the exit code of a command that answers "no" without throwing. */
  readonly exit: (code: ExitCode) => void;
}
