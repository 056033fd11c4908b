import { join } from 'node:path'

/** A file of ours as an input of a recipe: when it changes, what it makes is made again */
export const sourceText = async (directory: string, file: string): Promise<string> =>
  `${file}\n${await Bun.file(join(directory, file)).text()}`
