import { unmount } from './syscalls.ts'

// A thread for unmounting: the kernel waits for all CPUs in it, a millisecond or two, in which the worker could do nothing else
declare const self: Worker

self.onmessage = ({ data: target }: MessageEvent<string>) => {
  try {
    unmount(target)
    self.postMessage({ target })
  } catch (error) {
    self.postMessage({ target, error: String(error) })
  }
}
