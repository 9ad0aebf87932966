import ts from 'typescript';

/** Lines of a TypeScript source on which it reaches for the process's environment, by whatever spelling. */
export function environmentReads(source: string): number[] {
  const file = ts.createSourceFile('source.ts', source, ts.ScriptTarget.Latest, true);
  const lines: number[] = [];
  const visit = (node: ts.Node): void => {
    if (isRead(node)) lines.push(file.getLineAndCharacterOfPosition(node.getStart()).line + 1);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return lines;
}

function isRead(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return isProcess(node.expression) && node.name.text === 'env';
  if (ts.isElementAccessExpression(node)) {
    const { expression, argumentExpression } = node;
    return isProcess(expression) && ts.isStringLiteralLike(argumentExpression) && argumentExpression.text === 'env';
  }
  if (ts.isVariableDeclaration(node)) {
    return (
      !!node.initializer && isProcess(node.initializer) && ts.isObjectBindingPattern(node.name) && binds(node.name)
    );
  }
  if (ts.isImportDeclaration(node)) {
    const bindings = node.importClause?.namedBindings;
    if (!/^'(node:)?process'$/.test(node.moduleSpecifier.getText().replaceAll('"', "'"))) return false;
    return !!bindings && ts.isNamedImports(bindings) && bindings.elements.some((element) => named(element) === 'env');
  }
  return false;
}

function isProcess(node: ts.Expression): boolean {
  if (ts.isIdentifier(node)) return node.text === 'process';
  return (
    ts.isPropertyAccessExpression(node) && node.name.text === 'process' && node.expression.getText() === 'globalThis'
  );
}

function binds(pattern: ts.ObjectBindingPattern): boolean {
  return pattern.elements.some((element) => (element.propertyName ?? element.name).getText() === 'env');
}

function named(element: ts.ImportSpecifier): string {
  return (element.propertyName ?? element.name).text;
}
