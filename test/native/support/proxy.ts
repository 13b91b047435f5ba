import { rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { Reader, Writer } from '../../../src/base/index.ts';
import type { Swtpm } from '../../../src/testing/index.ts';

/** One command and its response, as they went over the bus. */
export interface Exchange {
  /** TPM_CC. */
  readonly code: number;
  readonly request: Buffer;
  readonly response: Buffer;
}

/** What a proxy does before it hands a command on. `send` runs another command on the same TPM first. */
export type Intervention = (code: number, send: (command: Uint8Array) => Promise<Buffer>) => Promise<void>;

/** A listener on the bus between tcti-swtpm and swtpm: records everything, and can delay or interfere. */
export class TpmProxy implements AsyncDisposable {
  readonly tcti: string;
  readonly exchanges: Exchange[] = [];
  /** Called before each command is handed on. */
  before: Intervention = () => Promise.resolve();
  /** Called with each response; gives what the caller gets. */
  answer: (code: number, response: Buffer) => Buffer | Promise<Buffer> = (_, response) => response;
  readonly #path: string;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.#path = path;
    this.tcti = `swtpm:path=${path}`;
  }

  /** Listens beside the emulator's own sockets. */
  static async start(swtpm: Swtpm): Promise<TpmProxy> {
    const proxy = new TpmProxy(`${swtpm.socket}-bus`);
    await proxy.#listen(proxy.#path, (client) => {
      proxy.#serve(client, proxy.#open(swtpm.socket));
    });
    await proxy.#listen(`${proxy.#path}.ctrl`, (client) => {
      const upstream = proxy.#open(`${swtpm.socket}.ctrl`);
      client.pipe(upstream).pipe(client);
    });
    return proxy;
  }

  /** Everything that a listener saw, one after the other. */
  get bytes(): Buffer {
    return Buffer.concat(this.exchanges.flatMap(({ request, response }) => [request, response]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await Promise.all(['', '.ctrl'].map((suffix) => rm(`${this.#path}${suffix}`, { force: true })));
  }

  async #listen(path: string, onClient: (client: Socket) => void): Promise<void> {
    const server = createServer((client) => {
      this.#track(client);
      onClient(client);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject);
      server.listen(path, resolve);
    });
  }

  #open(path: string): Socket {
    const socket = connect(path);
    this.#track(socket);
    return socket;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    // Either side may go away at any time; the other one is told by the end of its own socket.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #serve(client: Socket, upstream: Socket): void {
    const responses = framesOf(upstream);
    const send = async (command: Uint8Array): Promise<Buffer> => {
      upstream.write(command);
      return responses();
    };
    void (async () => {
      for (const commands = framesOf(client); ;) {
        const request = await commands();
        const code = commandCode(request);
        await this.before(code, send);
        const response = await this.answer(code, await send(request));
        this.exchanges.push({ code, request, response });
        client.write(response);
      }
    })().catch(() => {
      client.destroy();
      upstream.destroy();
    });
  }
}

/** TPM2_PCR_Extend of PCR `index` in the SHA-256 bank by all zeros, as raw bytes with an empty password. */
export function rawExtend(index: number): Uint8Array {
  const body = new Writer()
    .u32(index)
    .u32(9)
    .u32(0x4000_0009) // TPM_RS_PW
    .u16(0)
    .u8(0)
    .u16(0)
    .u32(1)
    .u16(0x000b)
    .bytes(new Uint8Array(32))
    .finish();
  return new Writer()
    .u16(0x8002)
    .u32(10 + body.length)
    .u32(0x182)
    .bytes(body)
    .finish();
}

/** A response that is only a code. */
export function rawResponse(code: number): Buffer {
  return Buffer.from(new Writer().u16(0x8001).u32(10).u32(code).finish());
}

/** Commands and responses carry their length at offset 2. Rejects when the socket ends. */
function framesOf(socket: Socket): () => Promise<Buffer> {
  let pending = Buffer.alloc(0);
  let ended = false;
  let wake: () => void = () => undefined;
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    wake();
  });
  socket.on('close', () => {
    ended = true;
    wake();
  });
  return async () => {
    for (;;) {
      if (pending.length >= 6) {
        const length = pending.readUInt32BE(2);
        if (pending.length >= length) {
          const frame = pending.subarray(0, length);
          pending = pending.subarray(length);
          return frame;
        }
      }
      if (ended) throw new Error('the socket ended');
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
}

function commandCode(request: Buffer): number {
  const reader = new Reader(request, 'TPM command');
  reader.u16();
  reader.u32();
  return reader.u32();
}
