import type { Command } from 'commander';
import type { CommandContext } from '../run.ts';
import { registerArtifact } from './artifact.ts';

/** A command file adds its commands to the program. */
export type Register = (program: Command, context: CommandContext) => void;

/** Every command, in the order of `sealgate --help`. */
export const COMMANDS: readonly Register[] = [registerArtifact];
