export { compose, logVkey } from './compose.ts';
export type { ComposeInput, Services } from './compose.ts';
export { startServer } from './serve.ts';
export type { RunningServer } from './serve.ts';
