// once(): the first call runs the task, later calls do nothing.

export function once(task: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) task();
    isDone = true;
  };
}
