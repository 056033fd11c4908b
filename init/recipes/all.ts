import type { Profile } from '../contract.ts'
import type { Recipe } from '../recipe.ts'
import { base } from './base.ts'
import { bun, node } from './binary.ts'
import type { Mirrors } from './debian.ts'
import { js } from './js.ts'
import { python } from './python.ts'

/** The packages of a profile, the base first. `uv` is asked for only when Python's libraries must be installed */
export const recipesOf = async (profile: Profile, mirrors: Mirrors, uv: () => Promise<string>): Promise<Recipe[]> => {
  const root = await base(profile, mirrors)
  return [root, await python(profile, root, uv), await node(), await bun(), await js(profile)]
}
