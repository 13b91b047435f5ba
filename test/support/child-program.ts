/**
 * A governed program that speaks to its child socket with nothing but docs/PROTOCOL.md, "Child socket": no line of
 * Sealgate’s own code is in it. Its arguments are requests (JSON), @SOCKET@ in them its own socket; a result is a line, a
 * child’s output a line before it. With "path" it asks another socket, with "background" it doesn’t wait for the end.
 */
export const CHILD_PROGRAM = `#!/usr/bin/python3
import json, os, socket, struct, sys

NAMES = {0x11: 'event', 0x12: 'stdout', 0x13: 'stderr', 0x14: 'result'}

def ask(request, path=None, started=None):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(path or os.environ['SEALGATE_CHILD_SOCKET'])
        def send(kind, payload):
            s.sendall(struct.pack('>BI', kind, len(payload)) + payload)
        def take(length):
            data = b''
            while len(data) < length:
                part = s.recv(length - len(data))
                if not part:
                    raise EOFError()
                data += part
            return data
        send(0x01, json.dumps(request).encode())
        send(0x02, b'typed by the parent\\n')
        send(0x02, b'')
        while True:
            kind, length = struct.unpack('>BI', take(5))
            name, payload = NAMES[kind], take(length)
            if name in ('stdout', 'stderr'):
                print(name, payload.decode(), end='', flush=True)
            elif name == 'event':
                print(name, json.loads(payload)['event'], flush=True)
                if started is not None:
                    os.write(started, b'.')
            else:
                return json.loads(payload)

for argument in sys.argv[1:]:
    request = json.loads(argument.replace('@SOCKET@', os.environ['SEALGATE_CHILD_SOCKET']))
    path = request.pop('path', None)
    if request.pop('background', False):
        runs, started = os.pipe()
        if os.fork() == 0:
            # Its standard streams are not the program’s any more: who waits for those waits for the program.
            null = os.open('/dev/null', os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.setsid()
            ask(request, None, started)
            os._exit(0)
        os.read(runs, 1)
        continue
    if request.get('op') == 'sleep':
        import time
        time.sleep(request['seconds'])
        continue
    try:
        print('result', json.dumps(ask(request, path)), flush=True)
    except (OSError, EOFError) as error:
        print('failed', type(error).__name__, flush=True)
`;

/** The results that it printed, in their order. */
export function resultsIn(stdout: string): readonly Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('result '))
    .map((line) => JSON.parse(line.slice('result '.length)) as Record<string, unknown>);
}
