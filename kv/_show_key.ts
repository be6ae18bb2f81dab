/** A key for error messages: keys can be long and hold anything. */
export function showKey(key: string): string {
  const text = JSON.stringify(key);
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
