select world.chain('u32', '88632');
select world.subscriber('one@u32.example', 'u32-customer', 'demo-secret', null);
select world.subscriber('two@u32.example', 'u32-customer', 'demo-secret', null);
select world.subscriber('mobile@u32.example', 'u32-customer', 'demo-secret', null);
select world.user('u32-eva', 'u32-customer', 'mobile@u32.example');
select world.ring_group('u32-sales', 'u32-customer', 'parallel', '{one@u32.example,two@u32.example,user:u32-eva}');
select world.number('886322000001', 'u32-customer', 'group:u32-sales');
