select world.chain('u20', '88620');
