/**
 * A stream of responses: Node's Duplex underneath, which etcd3's type hides. Reading one at a time lets gRPC's flow
 * control hold back etcd while the reader is busy.
 */
export interface ResponseStream<Request, Response> extends AsyncIterable<Response> {
  write(request: Request): void;
  /** No more requests; responses go on. */
  end(): void;
  /** Ends the call now. Harmless when it is over. */
  stop(): void;
}

interface RawStream<Request> {
  write(request: Request): void;
  end(): void;
  cancel(): void;
}

/** @param raw etcd3's stream of a call */
export function responseStream<Request, Response>(
  raw: RawStream<Request>,
): ResponseStream<Request, Response> {
  return {
    write: (request) => raw.write(request),
    end: () => raw.end(),
    stop: () => {
      // Ended first: etcd3 takes the CANCELLED of a stream it could still write to for a failure of the endpoint.
      raw.end();
      raw.cancel();
    },
    [Symbol.asyncIterator]: () => (raw as unknown as AsyncIterable<Response>)[Symbol.asyncIterator](),
  };
}
