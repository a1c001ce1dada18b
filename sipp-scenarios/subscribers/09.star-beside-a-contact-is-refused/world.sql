select world.chain('u09', '88609');
