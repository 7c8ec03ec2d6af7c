// Work of which only the newest call matters.

/** Only the last of many calls matters while one is at work; `fail` hears of an error. A call resolves when nothing is left to do. */
export function latest(work, fail) {
  let running;
  let next;
  const finish = async () => {
    try {
      while (next) {
        const now = next;
        next = undefined;
        await work(...now);
      }
    } catch (error) {
      fail(error);
    }
    running = undefined;
  };
  const call = (...args) => {
    next = args;
    return (running ??= finish());
  };
  return Object.assign(call, { settled: () => running, overtaken: () => next !== undefined });
}
