"""`tandem report`: calls, margins, traffic and balances of an account, as far as whoever asks may see them."""
