export { compose, logVkey } from './compose.ts';
export type { ComposeInput } from './compose.ts';
export type { Services } from './services.ts';
export { startServer } from './serve.ts';
export type { RunningServer } from './serve.ts';
