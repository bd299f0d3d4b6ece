// Prints the balances of the sandbox's demo wallet.
import { client } from './gateway.mjs';
import { moneyText } from './money_text.mjs';

const balances = client('balance', 'BalanceService');
const reply = await balances.call('ListBalances');
for (const { alias, amount } of reply.balances) {
  // A linked card or phone has none.
  if (amount) console.log(alias, moneyText(amount));
}
balances.close();
